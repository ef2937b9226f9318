"""What the databases share: connections, dialects, splits, write modes."""
