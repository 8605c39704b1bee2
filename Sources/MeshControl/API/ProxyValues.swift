import Foundation

extension API {
    /// What an instance is known by. Two services may have instances of one name.
    public struct ProxyID: Codable, Sendable, Hashable, Comparable {
        /// What sort of proxy.
        public enum Kind: String, Codable, Sendable, CaseIterable {
            /// A sidecar.
            case workload
            case gateway
        }

        /// What sort of proxy.
        public var kind: Kind
        /// Of the Workload or Gateway.
        public var namespace: String
        /// Of the Workload or Gateway.
        public var name: String
        /// Unique among instances of that.
        public var instance: String

        /// The instance of a role.
        public init(kind: Kind, namespace: String, name: String, instance: String) {
            self.kind = kind
            self.namespace = namespace
            self.name = name
            self.instance = instance
        }

        /// The role, `workload:shop/cart` or `gateway:default/edge`, as proxies name it, and an instance; nil if the
        /// role is none.
        public init?(role: String, instance: String) {
            guard let colon = role.firstIndex(of: ":"), let kind = Kind(rawValue: String(role[..<colon])) else {
                return nil
            }
            let names = role[role.index(after: colon)...].split(separator: "/", omittingEmptySubsequences: false)
            guard names.count == 2, !names[0].isEmpty, !names[1].isEmpty else { return nil }
            self.init(kind: kind, namespace: String(names[0]), name: String(names[1]), instance: instance)
        }

        /// `workload:shop/cart`.
        public var role: String { "\(kind.rawValue):\(namespace)/\(name)" }
        /// `workload:shop/cart/cart-1`.
        public var text: String { "\(role)/\(instance)" }

        /// By text.
        public static func < (left: ProxyID, right: ProxyID) -> Bool { left.text < right.text }
    }

    /// How far a proxy is with what it should run.
    public enum SyncState: String, Codable, Sendable, CaseIterable {
        /// It runs what it should.
        case synced
        /// It was sent something that it has not answered yet, or will be.
        case pending
        /// It refused something, and runs what it ran before.
        case rejected
        /// It is not connected; what it runs is what it was last known to run.
        case disconnected
    }

    /// An instance.
    public struct Proxy: Codable, Sendable, Equatable {
        /// What it is known by.
        public var id: ProxyID
        /// Where others reach it.
        public var address: String
        /// Empty if it has not said.
        public var zone: String
        /// Of the program: `0.4.0`.
        public var programVersion: String
        /// How far it is.
        public var sync: SyncState
        /// `starting`, `ready`, `unready`, `draining`; empty: it has not said.
        public var readiness: String
        /// nil: it is not connected.
        public var connectedSince: Date?
        /// When anything came from it last.
        public var lastSeen: Date?
        /// A digest of everything it should run, and of what it last said it does: equal where all is in order.
        public var desiredVersion: String
        /// See `desiredVersion`; empty: it never has.
        public var ackedVersion: String
        /// When its certificate ends; nil: not known.
        public var certificateExpires: Date?
        /// The certificate's serial number, in hexadecimal digits; empty: not known.
        public var certificateSerial: String
        /// What people should know: a refusal, a clock that is wrong, an old program, …
        public var warnings: [String]

        /// An instance of these parts.
        public init(
            id: ProxyID, address: String, zone: String = "", programVersion: String = "", sync: SyncState,
            readiness: String = "", connectedSince: Date? = nil, lastSeen: Date? = nil, desiredVersion: String,
            ackedVersion: String, certificateExpires: Date? = nil, certificateSerial: String = "",
            warnings: [String] = []
        ) {
            self.id = id
            self.address = address
            self.zone = zone
            self.programVersion = programVersion
            self.sync = sync
            self.readiness = readiness
            self.connectedSince = connectedSince
            self.lastSeen = lastSeen
            self.desiredVersion = desiredVersion
            self.ackedVersion = ackedVersion
            self.certificateExpires = certificateExpires
            self.certificateSerial = certificateSerial
            self.warnings = warnings
        }
    }

    /// An instance with its resources.
    public struct ProxyDetail: Codable, Sendable, Equatable {
        /// The instance.
        public var proxy: Proxy
        /// Everything it should run or does, by type and name.
        public var resources: [ProxyResource]

        /// An instance with its resources.
        public init(proxy: Proxy, resources: [ProxyResource]) {
            self.proxy = proxy
            self.resources = resources
        }
    }

    /// How far a proxy is with one resource.
    public struct ProxyResource: Codable, Sendable, Equatable {
        /// `MeshBackend`, `AttachedRoute`, …
        public var type: String
        /// Unique among those of its type.
        public var name: String
        /// nil: it should have none.
        public var desiredVersion: String?
        /// nil: it has none.
        public var ackedVersion: String?
        /// Why it was refused.
        public var rejection: Rejection?

        /// The state of a resource.
        public init(
            type: String, name: String, desiredVersion: String?, ackedVersion: String?, rejection: Rejection? = nil
        ) {
            self.type = type
            self.name = name
            self.desiredVersion = desiredVersion
            self.ackedVersion = ackedVersion
            self.rejection = rejection
        }
    }

    /// A proxy's refusal.
    public struct Rejection: Codable, Sendable, Equatable {
        /// The proxy's words, with the path of the field.
        public var message: String
        /// The version that was refused.
        public var version: String
        /// When.
        public var time: Date

        /// A refusal of these parts.
        public init(message: String, version: String, time: Date) {
            self.message = message
            self.version = version
            self.time = time
        }
    }

    /// How an object is.
    public struct ObjectStatus: Codable, Sendable, Equatable {
        /// The object, or one part of it.
        public struct Part: Codable, Sendable, Equatable {
            /// Empty for the object itself; `listener http`, `parent Gateway default/edge`, …
            public var part: String
            /// As Gateway API names them: Accepted, ResolvedRefs, Programmed, …
            public var conditions: [Condition]

            /// Conditions of a part.
            public init(part: String, conditions: [Condition]) {
                self.part = part
                self.conditions = conditions
            }
        }

        /// One condition.
        public struct Condition: Codable, Sendable, Equatable {
            /// `Accepted`, …
            public var type: String
            /// Whether it holds.
            public var status: Bool
            /// `BackendNotFound`, …
            public var reason: String
            /// For people; may be empty.
            public var message: String

            /// A condition of these parts.
            public init(type: String, status: Bool, reason: String, message: String = "") {
                self.type = type
                self.status = status
                self.reason = reason
                self.message = message
            }
        }

        /// How far a proxy is with the resources of the object.
        public struct Delivery: Codable, Sendable, Equatable {
            /// The instance.
            public var proxy: ProxyID
            /// How far it is with them.
            public var sync: SyncState
            /// What it should run.
            public var desiredVersion: String
            /// What it runs; empty: nothing yet.
            public var ackedVersion: String
            /// Why it refuses them.
            public var rejection: Rejection?
            /// Since when it is in this state.
            public var since: Date

            /// The delivery to a proxy.
            public init(
                proxy: ProxyID, sync: SyncState, desiredVersion: String, ackedVersion: String,
                rejection: Rejection? = nil, since: Date
            ) {
                self.proxy = proxy
                self.sync = sync
                self.desiredVersion = desiredVersion
                self.ackedVersion = ackedVersion
                self.rejection = rejection
                self.since = since
            }
        }

        /// The object.
        public var id: ObjectID
        /// As in ``Object``.
        public var source: String
        /// As in ``Object``.
        public var revision: Int
        /// The object's conditions, then those of its parts.
        public var parts: [Part]
        /// The proxies that need it.
        public var proxies: [Delivery]

        /// A status of these parts.
        public init(id: ObjectID, source: String, revision: Int, parts: [Part], proxies: [Delivery]) {
            self.id = id
            self.source = source
            self.revision = revision
            self.parts = parts
            self.proxies = proxies
        }
    }

    /// How the control plane is.
    public struct Health: Codable, Sendable, Equatable {
        /// One thing that it needs.
        public struct Check: Codable, Sendable, Equatable {
            /// `store`, `authority`, `discovery`, …
            public var name: String
            /// Whether it is in order.
            public var isGood: Bool
            /// What is wrong, and what to do; may be empty.
            public var message: String

            /// A check of these parts.
            public init(name: String, isGood: Bool, message: String = "") {
                self.name = name
                self.isGood = isGood
                self.message = message
            }
        }

        /// True if it can serve proxies.
        public var isReady: Bool
        /// What it needs.
        public var checks: [Check]
        /// Of the program.
        public var programVersion: String
        /// Of the mesh.
        public var trustDomain: String
        /// The revision that holds.
        public var revision: Int
        /// Since when it runs.
        public var started: Date
        /// How many proxies are connected.
        public var connectedProxies: Int

        /// A health of these parts.
        public init(
            isReady: Bool, checks: [Check], programVersion: String, trustDomain: String, revision: Int,
            started: Date, connectedProxies: Int
        ) {
            self.isReady = isReady
            self.checks = checks
            self.programVersion = programVersion
            self.trustDomain = trustDomain
            self.revision = revision
            self.started = started
            self.connectedProxies = connectedProxies
        }
    }
}
