import Foundation

/// Everything that the HTTP API, and with it the `martlet` command, asks of the control plane. The API knows nothing
/// of stores, proxies and keys; the control plane knows nothing of HTTP.
///
/// Every operation may be called at any time and from anywhere. What cannot be done throws ``API/Problem``; anything
/// else that is thrown is logged and answered as an internal error without its text.
public protocol ControlOperations: Sendable {
    // MARK: Objects

    /// The objects that fit, without their text, by kind, namespace and name.
    func objects(_ filter: API.ObjectFilter) async throws -> [API.Object]
    /// One object with its text. Throws ``API/Problem/Kind/notFound``.
    func object(_ id: API.ObjectID) async throws -> API.Object
    /// Adds the objects in these files, or replaces those of the same name, as one revision: all or, where
    /// ``API/ChangeResult/isAccepted`` is false, none. An object that comes from a directory cannot be changed:
    /// ``API/Problem/Kind/conflict``.
    func apply(_ change: API.Change) async throws -> API.ChangeResult
    /// Removes these objects as one revision. Throws ``API/Problem/Kind/notFound`` if one does not exist,
    /// ``API/Problem/Kind/conflict`` if one comes from a directory.
    func delete(_ deletion: API.Deletion) async throws -> API.ChangeResult
    /// What ``apply(_:)`` would do with these files, to objects and to every known proxy. Changes nothing.
    func diff(_ files: [API.File]) async throws -> API.Diff

    // MARK: Revisions

    /// The newest revisions, newest first, at most `limit`.
    func revisions(limit: Int) async throws -> [API.Revision]
    /// Makes the objects what they were at a revision, as a new revision. Throws ``API/Problem/Kind/notFound``.
    func rollback(_ request: API.Rollback) async throws -> API.ChangeResult

    // MARK: What runs

    /// How the objects that fit are, and how far they have come with the proxies that need them.
    func status(_ filter: API.ObjectFilter) async throws -> [API.ObjectStatus]
    /// The instances that are connected, or were and are not forgotten, by role and instance.
    func proxies() async throws -> [API.Proxy]
    /// One instance, with its resources. Throws ``API/Problem/Kind/notFound``.
    func proxy(_ id: API.ProxyID) async throws -> API.ProxyDetail
    /// The model that the instance should run, made by `Assembly` from its desired resources and its overrides; without
    /// private keys. Throws ``API/Problem/Kind/notFound``.
    func compiledModel(_ id: API.ProxyID) async throws -> API.CompiledModel
    /// What passed between services in the last `seconds`, as nearly as it is known; nil: since the control plane
    /// knows of it.
    func traffic(seconds: Int?) async throws -> API.Traffic

    // MARK: Identity

    /// Makes a token. The only time that its text is given away.
    func createToken(_ request: API.TokenRequest) async throws -> API.NewToken
    /// Every token that is not forgotten, newest first.
    func tokens() async throws -> [API.Token]
    /// Makes a token useless. Throws ``API/Problem/Kind/notFound``.
    func revokeToken(_ id: String) async throws
    /// Whom the mesh believes.
    func trustBundle() async throws -> API.TrustBundle
    /// How far the rotation of the root is.
    func rootRotation() async throws -> API.RootRotation
    /// Takes one step of it. Throws ``API/Problem/Kind/conflict`` if it is not the time for this step, with what is
    /// missing as the remedy.
    func advanceRootRotation(_ step: API.RootRotation.Step) async throws -> API.RootRotation
    /// Makes certificates of an instance, or one certificate, useless. Throws ``API/Problem/Kind/notFound``.
    func revoke(_ request: API.Revocation) async throws -> API.RevocationResult

    // MARK: The control plane itself

    /// How it is. Never throws: who asks wants to know.
    func health() async -> API.Health
    /// Prometheus text.
    func metrics() async -> String
}

/// The values of the HTTP API, exactly as they stand in its JSON: names of fields are names of properties, dates are
/// ISO 8601 in UTC, versions and revisions are opaque but for ``Revision/number``.
public enum API {}

extension API {
    /// Why something cannot be done.
    public struct Problem: Error, Sendable, Equatable {
        /// What sort of reason; decides the status of the response.
        public enum Kind: Sendable, Equatable, CaseIterable {
            /// 400: the request makes no sense.
            case invalid
            /// 404: what is asked for does not exist.
            case notFound
            /// 409: not in this state, or not by this way.
            case conflict
            /// 422: the documents are not valid; see `diagnostics`.
            case rejected
            /// 503: not now.
            case unavailable
        }

        /// What sort of reason.
        public var kind: Kind
        /// What is wrong, for people, without a full stop.
        public var message: String
        /// What to do instead; empty if the message says it.
        public var remedy: String
        /// What is wrong with the documents, if that is the reason.
        public var diagnostics: [Diagnosis]

        /// A reason of these parts.
        public init(_ kind: Kind, _ message: String, remedy: String = "", diagnostics: [Diagnosis] = []) {
            self.kind = kind
            self.message = message
            self.remedy = remedy
            self.diagnostics = diagnostics
        }
    }
}
