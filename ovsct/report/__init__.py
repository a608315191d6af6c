"""What came of a run, written for people and for programs: text and JSON."""
