"""Top-5 of single images by one or more builds."""
