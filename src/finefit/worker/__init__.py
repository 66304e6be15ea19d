"""The only home of torch: started as a process, imported by nobody."""
