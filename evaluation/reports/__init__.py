"""Results for people: tables, sheets of pictures, figures, pages."""
