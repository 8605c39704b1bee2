import Foundation
import MeshCore
import MeshGatewayAPI
import MeshModel

extension API {
    /// The model of one proxy, for who wants to explain what it does.
    public struct CompiledModel: Codable, Sendable, Equatable {
        /// Where something was written.
        public struct Origin: Codable, Sendable, Equatable {
            /// As in ``Object/source``.
            public var file: String
            /// From 1.
            public var line: Int

            /// Line `line` of `file`.
            public init(file: String, line: Int) {
                self.file = file
                self.line = line
            }
        }

        /// `Model.encode()`, in which `(secret)` stands for every private key; Base64 in JSON.
        public var model: Data
        /// Where settings that have a default were written: `Translation.origins`.
        public var origins: [String: Origin]

        /// `model` without its secrets, and where its settings were written. Throws what `Model.encode()` throws.
        public init(_ model: Model, origins: [String: Place] = [:]) throws(ProxyError) {
            var bare = model
            bare.identity = nil
            for listener in bare.listeners.indices {
                for section in bare.listeners[listener].sections.indices {
                    let count = bare.listeners[listener].sections[section].tls?.certificates.count ?? 0
                    for index in 0..<count {
                        bare.listeners[listener].sections[section].tls?.certificates[index].privateKey = Self.secret
                    }
                }
            }
            for backend in bare.backends.indices where bare.backends[backend].tls?.clientCertificate != nil {
                bare.backends[backend].tls?.clientCertificate?.privateKey = Self.secret
            }
            self.model = Data(try bare.encode())
            self.origins = origins.mapValues { Origin(file: $0.file, line: $0.line) }
        }

        private static let secret = Array("(secret)".utf8)
    }
}
