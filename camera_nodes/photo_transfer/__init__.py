"""Files on their way to the studio: spool, proof of whole JPEGs, uploads."""
