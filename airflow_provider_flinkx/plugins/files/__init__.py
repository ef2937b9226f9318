"""What the file sources share: file systems, formats, compression, publication."""
