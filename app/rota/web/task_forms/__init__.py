"""The form for a task, made from the schema of registrations in the OpenAPI document."""
