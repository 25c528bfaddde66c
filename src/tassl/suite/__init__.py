"""Many runs, one table: sets x methods x budgets x seeds from one file, and what they say."""
