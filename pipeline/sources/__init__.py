"""Where images come from: data sets, downloads, folders, archives, and their import. Only fetch needs it."""
