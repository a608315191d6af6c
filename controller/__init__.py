"""Controller applications for Ryu and os-ken; they import nothing of ovsct."""
