import Foundation

/// What the control plane must not forget. SQLite by default (``SQLiteStore``); the protocol asks for nothing that a
/// replicated key-value store could not do: every change is one compare-and-set, and nothing is read to be written.
///
/// A change is durable when the call returns. A change that throws has changed nothing, and what was stored before can
/// still be read. Calls may come from anywhere, at the same time.
public protocol Store: Sendable {
    // MARK: Objects and revisions

    /// The number of the newest revision; 0: there is none.
    func currentRevision() async throws(StoreError) -> Int
    /// All objects of the newest revision, by kind, namespace and name.
    func objects() async throws(StoreError) -> [StoredObject]
    /// All objects as they were at a revision, by kind, namespace and name; nil if there is no such revision.
    func objects(at revision: Int) async throws(StoreError) -> [StoredObject]?
    /// The newest revisions, newest first, at most `limit`.
    func revisions(limit: Int) async throws(StoreError) -> [StoredRevision]
    /// Makes a new revision after `revision`, which must be the newest, else ``StoreError/Kind/conflict``. Returns it.
    func commit(_ draft: RevisionDraft, after revision: Int) async throws(StoreError) -> StoredRevision

    // MARK: Tokens

    /// Keeps a token. Its id must be new, else ``StoreError/Kind/conflict``.
    func insert(_ token: StoredToken) async throws(StoreError)
    /// The token of this id.
    func token(_ id: String) async throws(StoreError) -> StoredToken?
    /// All tokens, newest first.
    func tokens() async throws(StoreError) -> [StoredToken]
    /// Takes one use of a token at `time`, if it has one left, is not revoked and has not expired; false if not. Of two
    /// calls for the last use one gets it.
    func useToken(_ id: String, at time: Date) async throws(StoreError) -> Bool
    /// Makes a token useless; false if there is none of this id.
    func revokeToken(_ id: String) async throws(StoreError) -> Bool
    /// Forgets tokens that expired before `time`.
    func removeTokens(expiredBefore time: Date) async throws(StoreError)

    // MARK: Certificates

    /// Remembers a certificate that was issued. Its serial number must be new.
    func insert(_ certificate: StoredCertificate) async throws(StoreError)
    /// The certificate of this serial number.
    func certificate(_ serial: String) async throws(StoreError) -> StoredCertificate?
    /// The certificates that end after `time`, of an identity and instance where they are given, newest first.
    func certificates(
        identity: String?, instance: String?, endingAfter time: Date
    ) async throws(StoreError) -> [StoredCertificate]
    /// Revokes certificates; returns the serial numbers of those that were there and not revoked yet.
    func revokeCertificates(_ serials: [String], at time: Date) async throws(StoreError) -> [String]
    /// Forgets certificates that ended before `time`.
    func removeCertificates(endedBefore time: Date) async throws(StoreError)

    // MARK: Endpoints

    /// The instances that were endpoints when last saved.
    func instances() async throws(StoreError) -> [StoredInstance]
    /// Remembers `instances` in the place of those before of the same role and name, and forgets `gone`.
    func save(_ instances: [StoredInstance], removing gone: [StoredInstance.ID]) async throws(StoreError)

    // MARK: Anything else

    /// What was kept under `key`.
    func value(_ key: String) async throws(StoreError) -> [UInt8]?
    /// Keeps `value` under `key`; nil: forgets what was there.
    func set(_ key: String, _ value: [UInt8]?) async throws(StoreError)
}

/// Why the store did not do something.
public struct StoreError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What sort of reason.
    public enum Kind: String, Sendable, CaseIterable {
        /// There is no room left.
        case full
        /// It may be read, not written.
        case readOnly
        /// What it holds is not what was written.
        case damaged
        /// Somebody else was quicker, or the name is taken.
        case conflict
        /// It cannot be reached, opened, or fails in another way.
        case unavailable
    }

    /// What sort of reason.
    public var kind: Kind
    /// For people: what is wrong, where, and what to do; without a full stop.
    public var description: String

    /// A reason of these parts.
    public init(_ kind: Kind, _ description: String) {
        self.kind = kind
        self.description = description
    }
}
