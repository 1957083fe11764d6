"""The guest agent: its reports, and requests to it. The guest controls it, so it may hang and lie."""
