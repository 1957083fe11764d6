"""What makes virt-api an aggregated API server: who asks, who may, what is served, how healthy it is."""
