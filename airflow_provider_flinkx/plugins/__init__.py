"""Sources: one folder each, the contract in base.py, the list in registry.py."""
