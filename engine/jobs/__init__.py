"""Background work: rows in the database, one dispatcher, one child process a job."""
