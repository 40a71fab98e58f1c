"""Problems (RFC 9457): documents, types with their pages, and examples."""
