/// A failure that a person must act on: one line that says what, where and what to do instead.
public struct ProxyError: Error, CustomStringConvertible, Sendable {
    /// The line, without a full stop and without a secret.
    public let description: String

    /// An error that says `description`.
    public init(_ description: String) { self.description = description }
}
