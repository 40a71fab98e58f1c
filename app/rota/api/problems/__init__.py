"""Problems (RFC 9457): what was wrong, where, and what would be right."""
