"""Charts as SVG, made by the service: without styles and scripts, and each mark with a title."""
