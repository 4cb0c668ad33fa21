"""Pages made from the results of a study: tables, plots, pictures and sections."""
