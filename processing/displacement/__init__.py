"""Relief between the scan and the registered mesh."""
