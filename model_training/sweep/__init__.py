"""The sweep: many trainings, their table and their plot."""
