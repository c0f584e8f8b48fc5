"""Registration: a scan brought into the template's topology."""
