import CAres
import MeshCore

// What c-ares calls: recover the owner, call a method.

/// `ares_sock_state_cb`: c-ares wants to read or write a socket, or is about to close it (neither).
func resolverSocketChanged(_ user: UnsafeMutableRawPointer?, _ fd: Int32, _ readable: Int32, _ writable: Int32) {
    guard let user = unsafe user else { return }
    var interest = Events()
    if readable != 0 { interest.insert(.readable) }
    if writable != 0 { interest.insert(.writable) }
    // SAFETY: the channel lives until after `ares_destroy`, the last to call back.
    unsafe Unmanaged<ResolverChannel>.fromOpaque(user).takeUnretainedValue().socketChanged(fd, interest)
}

/// `ares_addrinfo_callback`: a query has ended.
func resolverAnswered(
    _ argument: UnsafeMutableRawPointer?, _ status: Int32, _ timeouts: Int32,
    _ result: UnsafeMutablePointer<ares_addrinfo>?
) {
    guard let argument = unsafe argument else { return }
    // SAFETY: the reference that starting the query took; this is its only callback.
    let query = unsafe Unmanaged<ResolverQuery>.fromOpaque(argument).takeRetainedValue()
    unsafe query.channel.queryEnded(query.lookup, status, UnsafePointer(result))
    // SAFETY: the callback owns the result, and nobody has kept a pointer into it.
    if let result = unsafe result { unsafe ares_freeaddrinfo(result) }
}
