"""The one loop that applies, resumes and rolls back. Does not know how anything is shown."""
