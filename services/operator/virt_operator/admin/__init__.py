"""AdminService, for administrators and tools: server → authorization → servicer → status and peers."""
