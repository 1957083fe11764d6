"""AdminService, for people and tools: server → authorization (who is it, may they) → servicer → status and peers."""
