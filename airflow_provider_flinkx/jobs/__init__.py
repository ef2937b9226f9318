"""What a job says: text, model, columns, types, validation, connection references."""
