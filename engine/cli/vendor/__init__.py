"""Commands with the names, options and output layouts of the vendor's tools."""
