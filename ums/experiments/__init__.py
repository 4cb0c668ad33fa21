"""The paper's studies: jobs that train and test, results computed from their records, and pages."""
