"""What every application here shares: flows, the switch, documents, REST."""
