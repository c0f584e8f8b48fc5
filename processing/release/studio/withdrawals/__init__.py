"""What was released and is not any more: records, holdings, notices."""
