"""What every package uses: files, digests, text, statistics, environment."""
