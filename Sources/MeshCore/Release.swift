/// What this build is.
public enum Release {
    /// The version, as in `martlet version`.
    public static let version = "0.1.0"
}
