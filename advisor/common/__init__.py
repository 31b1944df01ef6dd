"""What every room needs: files written whole, exit codes, statistics, YAML."""
