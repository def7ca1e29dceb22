"""05: grades by people, and what a student's loss says."""
