"""The protocol: splits, label budgets, metrics, intervals, paired tests and the verdict."""
