"""What a connection may cost before anybody knows whose it is: sizes, deadlines, the number of connections."""
