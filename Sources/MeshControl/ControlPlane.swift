import Foundation
import Logging
import MeshCore
internal import MeshDiscovery
import MeshGatewayAPI
import MeshModel
internal import MeshNet

/// The control plane: it accepts documents, keeps every accepted state in the store, and hands what they mean to the
/// ``Distributor``. A change is checked, stored and then adopted, in this order, one at a time: what is adopted is
/// never lost, and what is refused has changed nothing.
public actor ControlPlane {
    let store: any Store
    let distributor: Distributor
    /// nil only in tests that have no identities.
    let authority: Authority?
    /// Its own counters.
    public nonisolated let metrics: ControlMetrics
    let log: Logger
    /// What documents are read from; nil: only the API.
    let directory: String?
    let trustDomain: String
    let started = Date()

    /// The revision that holds.
    private(set) var revision = 0
    /// Its objects.
    private(set) var current = ObjectSet()
    /// What they mean; nil: not translated yet, or not valid any more for this program.
    private(set) var translation: Translation?
    /// What is wrong with the directory as it is; an older state of it holds.
    private(set) var directoryProblem: String?
    /// Why the stored objects could not be adopted.
    private(set) var startProblem: String?
    /// What need not be read again at the next change.
    let texts = ParsedTexts()
    private var lastStoreError: StoreError?
    private var isChanging = false
    private var waiting: [CheckedContinuation<Void, Never>] = []

    /// A control plane over `store`. Call ``start()`` before anybody connects.
    public init(
        store: any Store, authority: Authority?, directory: String?, trustDomain: String,
        metrics: ControlMetrics = ControlMetrics(), log: Logger
    ) {
        self.store = store
        self.authority = authority
        self.directory = directory
        self.trustDomain = trustDomain
        self.metrics = metrics
        self.log = log
        distributor = Distributor(store: store, metrics: metrics, log: log)
    }

    /// Takes over what the store has, and what the directory says. Throws only if the store cannot be read.
    public func start() async throws(StoreError) {
        revision = try await store.currentRevision()
        current = ObjectSet(try await store.objects())
        await distributor.remember(try await store.instances())
        metrics.set(.revision, revision)
        metrics.set(.directoryValid, 1)
        if let bundle = authority?.bundlePEM { await adopt(bundle: bundle) }
        let translation = await current.translated(base: base, trustDomain: trustDomain, reusing: texts)
        if translation.hasErrors {
            startProblem = "the stored configuration is not valid: \(Self.summary(translation.diagnostics))"
            log.error("\(startProblem ?? "")")
        } else {
            await adopt(translation)
        }
        if directory != nil { await readDirectory() }
    }

    /// Ends every stream of a proxy, and what is done in the background.
    public func stop() async { await distributor.stop() }

    /// Follows the authority: gives proxies its bundle, and cuts off whose certificate was revoked. Returns when
    /// cancelled.
    public func followAuthority() async {
        guard let authority else { return }
        for await event in await authority.events() {
            switch event {
            case .bundle: await adopt(bundle: authority.bundlePEM)
            case .revoked(let serials): await distributor.close(serials: Set(serials))
            case .serverCertificate: continue
            }
        }
    }

    private func adopt(bundle: String) async {
        do throws(ProxyError) {
            try await distributor.adopt(trustBundle: Array(bundle.utf8))
        } catch {
            log.error("the trust bundle cannot be sent: \(error)")
        }
    }

    var base: String { directory ?? "." }

    // MARK: Changes

    /// Waits until no other change is being made, and makes one.
    func exclusively<T: Sendable>(_ body: () async throws(API.Problem) -> T) async throws(API.Problem) -> T {
        if isChanging { await withCheckedContinuation { waiting.append($0) } }
        isChanging = true
        defer {
            if waiting.isEmpty { isChanging = false } else { waiting.removeFirst().resume() }
        }
        return try await body()
    }

    /// Makes `next` what holds: translated, stored, adopted. With errors in `translation` nothing happens.
    func accept(
        _ next: ObjectSet, _ translation: Translation, author: String, message: String
    ) async throws(API.Problem) {
        let changes = next.changes(from: current)
        if !changes.isEmpty {
            do throws(StoreError) {
                let draft = RevisionDraft(author: author, message: message, time: Date(), changes: changes)
                let stored = try await store.commit(draft, after: revision)
                revision = stored.number
                current = current.after(changes, stored)
                lastStoreError = nil
            } catch {
                lastStoreError = error
                metrics.count(.storeErrors, error.kind.rawValue)
                metrics.count(.changes, "not stored")
                log.error("a change is not stored: \(error)")
                let kind: API.Problem.Kind = error.kind == .conflict ? .conflict : .unavailable
                throw API.Problem(kind, "nothing is changed: \(error)")
            }
            metrics.set(.revision, revision)
            metrics.count(.changes, "accepted")
            log.info("revision \(revision) by \(author): \(changes.count) objects changed")
        }
        startProblem = nil
        await adopt(translation)
        if changes.count > 100 { ThisProcess.returnFreeMemory() }
    }

    private func adopt(_ translation: Translation) async {
        self.translation = translation
        do throws(ProxyError) {
            try await distributor.adopt(translation.resources)
        } catch {
            log.error("the configuration cannot be sent: \(error)")
            startProblem = error.description
        }
        for case .mesh(let settings) in translation.resources {
            await authority?.use(certificateLifetime: settings.certificateLifetime)
        }
        let services = Dictionary(
            translation.resources.compactMap { resource -> (String, String)? in
                switch resource {
                case .workload(let workload): ("workload:\(workload.name)", workload.service)
                case .gateway(let gateway): ("gateway:\(gateway.name)", gateway.name)
                case .trustBundle, .mesh, .backend, .endpoints, .accessPolicy, .service, .route: nil
                }
            }
        ) { first, _ in first }
        await authority?.use(resolver: { services[$0] })
    }

    var storeProblem: StoreError? { lastStoreError }

    // MARK: The directory

    /// Reads the directory again, and takes over what it says if it is valid; else everything stays, and status says
    /// why. Returns the other files that the documents refer to.
    @discardableResult
    public func readDirectory() async -> [String] {
        guard let directory else { return [] }
        do throws(API.Problem) {
            try await exclusively { () throws(API.Problem) in try await self.takeDirectory(directory) }
            if directoryProblem != nil { log.info("\(directory) is valid again") }
            directoryProblem = nil
            metrics.set(.directoryValid, 1)
        } catch {
            let problem = error.remedy.isEmpty ? error.message : "\(error.message): \(error.remedy)"
            if directoryProblem != problem { log.error("\(directory): \(problem); nothing is changed") }
            directoryProblem = problem
            metrics.set(.directoryValid, 0)
        }
        return translation?.referencedFiles ?? []
    }

    private func takeDirectory(_ directory: String) async throws(API.Problem) {
        let files: [SourceFile]
        do throws(ProxyError) {
            files = try Translator.files(of: directory)
        } catch {
            throw API.Problem(.rejected, error.description)
        }
        var next = ObjectSet(current.objects.values.filter { $0.file.isEmpty })
        for file in files {
            let (documents, diagnostics) = DocumentText.documents(in: file)
            if let first = diagnostics.first {
                metrics.count(.changes, "rejected")
                throw API.Problem(.rejected, Self.summary(diagnostics), remedy: first.remedy)
            }
            for document in documents {
                let object = StoredObject(document, file: file.path)
                if let other = next.objects[object.key] {
                    let there = other.file.isEmpty ? "was applied through the API, too" : "is at \(other.source), too"
                    throw API.Problem(
                        .rejected, "\(object.key.text) at \(object.source) \(there)", remedy: "remove one of them")
                }
                next.objects[object.key] = object
            }
        }
        let translation = await next.translated(base: base, trustDomain: trustDomain, reusing: texts)
        guard !translation.hasErrors else {
            metrics.count(.changes, "rejected")
            throw API.Problem(.rejected, Self.summary(translation.diagnostics))
        }
        let changed = Set(next.changes(from: current).compactMap { next.objects[$0.key]?.file }).sorted()
        try await accept(
            next, translation, author: "directory",
            message: changed.isEmpty ? "" : changed.prefix(5).joined(separator: ", "))
    }

    /// The first error, and how many more there are.
    static func summary(_ diagnostics: [Diagnostic]) -> String {
        let errors = diagnostics.filter { $0.severity == .error }
        guard let first = errors.first else { return "not valid" }
        let whose = [first.place.object, first.place.fieldPath].filter { !$0.isEmpty }.joined(separator: ", ")
        let more = errors.count > 1 ? " (and \(errors.count - 1) more)" : ""
        return "\(first.place.fileAndLine): \(whose.isEmpty ? "" : whose + ": ")\(first.message)\(more)"
    }
}
