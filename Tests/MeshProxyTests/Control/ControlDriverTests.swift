import Foundation
import MeshCore
import MeshDiscovery
import MeshModel
import SwiftProtobuf
import Synchronization
import Testing

@testable import MeshProxy

/// What the control loop makes of what it has on disk and of what it is sent. Its thread does not run, and nobody is
/// connected.
@Suite struct ControlDriverTests {
    /// A driver with the proxy that it publishes to, and the control plane's side of its discovery stream.
    private final class Site {
        /// Timers of drivers may be set: they live as long as the process, as elsewhere.
        private static let kept = Mutex<[DriverReference]>([])

        let directory = "/tmp/cd-\(UUID().uuidString.prefix(13))"
        let proxy: Proxy
        let status = ControlStatus()
        let shared = ControlShared()
        let notices = Notices()
        private(set) var driver: ControlDriver
        private var session = DiscoverySession()

        final class Notices: Sendable {
            private let list = Mutex<[ControlNotice]>([])
            var all: [ControlNotice] { list.withLock { $0 } }
            func add(_ notice: ControlNotice) { list.withLock { $0.append(notice) } }
        }

        init(lastGood: [UInt8]? = nil) throws {
            try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
            if let lastGood { try Data(lastGood).write(to: URL(fileURLWithPath: directory + "/last-good")) }
            proxy = try Proxy(Model(settings: ProxySettings(accessLog: .off)), ProxyOptions(control: status))
            var options = ControlOptions(host: "127.0.0.1", port: 1, role: .workload("shop/web"), state: directory)
            options.instance = "web-1"
            options.token = .text("mt1.abc.c2VjcmV0.AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA")
            let state = try StateDirectory(directory, instance: "web-1", role: options.role.description)
            let notices = notices
            driver = try ControlDriver(options, state, proxy: proxy, status: status, shared: shared) { notices.add($0) }
            let reference = DriverReference(driver)
            Self.kept.withLock { $0.append(reference) }
            driver.restore()
            for request in driver.discovery.start() { _ = try session.receive(request) }
        }

        deinit {
            _ = proxy.drain(within: 0)
            try? FileManager.default.removeItem(atPath: directory)
        }

        /// The path of a socket in the directory.
        func path(_ name: String) -> String { "\(directory)/\(name).sock" }

        /// What the control plane sends when these resources hold.
        func messages(_ resources: [MeshResource]) throws -> [[UInt8]] {
            session.update(DiscoveryScope(try resources.map { EncodedResource(try VersionedResource($0)) }))
            var messages: [[UInt8]] = []
            while let response = session.next() {
                messages.append(try response.serializedBytes())
                var acknowledgement = DiscoveryDeltaDiscoveryRequest()
                acknowledgement.typeURL = response.typeURL
                acknowledgement.responseNonce = response.nonce
                _ = try session.receive(acknowledgement)
            }
            return messages
        }

        var files: [String] {
            ((try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []).filter { $0.hasPrefix("last") }
        }
    }

    /// The workload web, that calls others from a socket at `outbound`.
    private static func web(_ outbound: String, version: String = "v1") -> MeshResource {
        .workload(
            Workload(
                name: "shop/web", service: "shop/web", labels: ["version": version], outbound: .unix(path: outbound)))
    }

    private static func encoded(_ resources: [MeshResource]) throws -> [UInt8] {
        try LastGood.encode(try resources.map { try VersionedResource($0) })
    }

    // MARK: At the start

    @Test func withoutAnythingNothingIsServed() throws {
        let site = try Site()
        #expect(site.driver.served == nil && site.notices.all.isEmpty && !site.status.isConfigured)
    }

    @Test func theLastGoodIsServedWithNobodyConnected() throws {
        let outbound = "/tmp/cd-\(UUID().uuidString.prefix(13)).sock"
        let site = try Site(lastGood: try Self.encoded([.mesh(MeshSettings()), Self.web(outbound, version: "v7")]))
        #expect(site.driver.served?.place?.version == "v7")
        #expect(site.shared.outbound == "unix:\(outbound)")
        #expect(site.status.isConfigured && site.status.facts.damagedFiles == 0)
        guard case .configured? = site.notices.all.first else {
            Issue.record("\(site.notices.all)")
            return
        }
        #expect(FileManager.default.fileExists(atPath: outbound))
    }

    @Test func aDamagedLastGoodIsMovedAsideAndNothingIsServed() throws {
        var bytes = try Self.encoded([Self.web("/tmp/unused.sock")])
        bytes[bytes.count / 2] ^= 1
        let site = try Site(lastGood: bytes)
        #expect(site.driver.served == nil && site.notices.all.isEmpty)
        #expect(site.status.facts.damagedFiles == 1)
        #expect(site.files == ["last-good.corrupt"])
        // And what comes then is taken.
        site.driver.discovered(try site.messages([.mesh(MeshSettings()), Self.web(site.path("a"))]))
        #expect(site.driver.served != nil)
    }

    /// That an address cannot be had is not the file's fault: it may be had a moment later.
    @Test func aLastGoodWhoseAddressCannotBeHadIsKept() throws {
        let site = try Site(lastGood: try Self.encoded([Self.web("/nowhere/at/all.sock")]))
        #expect(site.driver.served == nil && site.files == ["last-good"])
        #expect(site.driver.unserved?.problem.contains("/nowhere/at/all.sock") == true)
    }

    // MARK: What comes

    @Test func nothingIsServedBeforeAllOfItIsThere() throws {
        let site = try Site()
        let messages = try site.messages([.mesh(MeshSettings()), Self.web(site.path("a"))])
        #expect(messages.count == MeshResourceType.allCases.count, "an answer for each type")
        for message in messages.dropLast() {
            site.driver.discovered([message])
            #expect(site.driver.served == nil)
        }
        site.driver.discovered(messages.suffix(1))
        #expect(site.driver.served != nil)
        #expect(site.status.facts.acks == UInt64(messages.count) && site.status.facts.nacks == 0)
        #expect(site.notices.all.count == 1)
    }

    @Test func aChangeIsServed() throws {
        let site = try Site()
        site.driver.discovered(try site.messages([.mesh(MeshSettings()), Self.web(site.path("a"))]))
        site.driver.discovered(try site.messages([.mesh(MeshSettings()), Self.web(site.path("b"), version: "v2")]))
        #expect(site.driver.served?.place?.version == "v2")
        #expect(site.shared.outbound == "unix:\(site.path("b"))")
        #expect(site.notices.all.count == 1, "only the first is news")
    }

    @Test func whatCannotBeServedIsRejectedAndChangesNothing() throws {
        let site = try Site()
        site.driver.discovered(try site.messages([.mesh(MeshSettings()), Self.web(site.path("a"))]))
        let served = site.driver.served
        site.driver.discovered(try site.messages([.mesh(MeshSettings()), Self.web("/nowhere/at/all.sock")]))
        #expect(site.driver.served == served && site.shared.model == served)
        #expect(site.status.facts.nacks == 1)
        var rejection = ""
        site.status.update { rejection = $0.rejection }
        #expect(rejection.contains("/nowhere/at/all.sock"), "\(rejection)")
        #expect(site.driver.discovery.resources.workloads["shop/web"]?.outbound == .unix(path: site.path("a")))
        // The next good one is taken.
        site.driver.discovered(try site.messages([.mesh(MeshSettings()), Self.web(site.path("c"))]))
        #expect(site.shared.outbound == "unix:\(site.path("c"))")
    }

    @Test func oneBadUpdateOfSeveralDoesNotTakeTheGoodWithIt() throws {
        let site = try Site()
        site.driver.discovered(try site.messages([.mesh(MeshSettings()), Self.web(site.path("a"))]))
        let messages = try site.messages([
            .mesh(MeshSettings(trustDomain: "other.mesh")), Self.web("/nowhere/at/all.sock"),
        ])
        #expect(messages.count == 2)
        site.driver.discovered(messages)
        #expect(site.status.facts.nacks == 1)
        #expect(site.driver.discovery.resources.mesh?.trustDomain == "other.mesh")
        #expect(site.driver.discovery.resources.workloads["shop/web"]?.outbound == .unix(path: site.path("a")))
    }

    @Test(arguments: [[0xFF, 0xFF, 0xFF], [0x0A, 0x7F], [1]] as [[UInt8]])
    func whatIsNotReadableIsIgnored(bytes: [UInt8]) throws {
        let site = try Site()
        site.driver.discovered(try site.messages([.mesh(MeshSettings()), Self.web(site.path("a"))]))
        let served = site.driver.served
        site.driver.discovered([bytes])
        #expect(site.driver.served == served)
    }

    // MARK: The end

    @Test func drainingTakesTheListenersForTheMeshAway() throws {
        let site = try Site()
        let port = WorkloadPort(port: 80, protocol: .http1, application: .ip("127.0.0.1", port: 9), inboundPort: 0)
        let web = Workload(
            name: "shop/web", service: "shop/web", ports: [port], outbound: .unix(path: site.path("a")),
            mode: .disabled)
        site.driver.discovered(try site.messages([.mesh(MeshSettings()), .workload(web)]))
        #expect(site.proxy.boundPorts().keys.contains("shop/web/inbound-80"))
        site.driver.withdrawInbound()
        #expect(!site.proxy.boundPorts().keys.contains("shop/web/inbound-80"))
        #expect(FileManager.default.fileExists(atPath: site.path("a")), "the application may still call others")
        // Whatever comes now does not bring them back.
        var changed = web
        changed.labels = ["version": "v2"]
        site.driver.discovered(try site.messages([.mesh(MeshSettings()), .workload(changed)]))
        #expect(!site.proxy.boundPorts().keys.contains("shop/web/inbound-80"))
    }
}
