import AsyncHTTPClient
import Foundation
import MeshControl
import NIOCore
import NIOSSL
import Synchronization

/// Asks the control plane's HTTP API, one request after the other.
struct ControlClient {
    /// What a request is.
    enum Method: String {
        case get = "GET"
        case post = "POST"
        case delete = "DELETE"
    }

    /// Without a slash at its end.
    let base: String
    let token: String?
    let caFile: String?
    var identity: Identity?
    /// True if the server's certificate may be for any name: its root is all that is asked for.
    var isForAnyName = false

    /// Files in PEM of who asks.
    struct Identity {
        var certificate: String
        var key: String
    }

    private static let mostBytes = 256 << 20

    // MARK: Asking

    /// What is at `path`; parameters that are nil are left out.
    func get<Value: Decodable>(_ path: String, _ query: [(String, String?)] = []) throws -> Value {
        let pairs = query.compactMap { name, value in value.map { "\(name)=\(Self.escaped($0))" } }
        return try decoded(try send(.get, path + (pairs.isEmpty ? "" : "?" + pairs.joined(separator: "&")), nil))
    }

    /// What the API answers to `body`.
    func post<Value: Decodable>(_ path: String, _ body: some Encodable) throws -> Value {
        try decoded(try send(.post, path, try API.encoder().encode(body)))
    }

    /// Removes what is at `path`.
    func delete(_ path: String) throws { _ = try send(.delete, path, nil) }

    /// A path of these parts, in which an empty one is `-`, as the API has it.
    static func path(_ parts: String...) -> String {
        parts.map { "/" + ($0.isEmpty ? "-" : escaped($0)) }.joined()
    }

    private static func escaped(_ text: String) -> String {
        let safe = CharacterSet(charactersIn: "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")
        return text.addingPercentEncoding(withAllowedCharacters: safe) ?? ""
    }

    private func decoded<Value: Decodable>(_ data: Data) throws -> Value {
        do {
            return try API.decoder().decode(Value.self, from: data)
        } catch {
            throw Failure(
                message: "\(base) answers something that this martlet does not understand: "
                    + "is it a martlet-control of the same release?")
        }
    }

    // MARK: Sending

    private struct Answer {
        var status: UInt
        var type: String
        var date: String?
        var data: Data
    }

    /// What time the server has, to the second; nil if it does not say.
    func date() throws -> Date? {
        let format = DateFormatter()
        format.locale = Locale(identifier: "en_US_POSIX")
        format.dateFormat = "EEE, dd MMM yyyy HH:mm:ss zzz"
        return try exchange(.get, "/live", nil).date.flatMap { format.date(from: $0) }
    }

    /// The body of a response that is a success.
    private func send(_ method: Method, _ path: String, _ body: Data?) throws -> Data {
        try exchange(method, path, body).data
    }

    /// A response that is a success.
    private func exchange(_ method: Method, _ path: String, _ body: Data?) throws -> Answer {
        var request = HTTPClientRequest(url: base + path)
        request.method = .init(rawValue: method.rawValue)
        request.headers.add(name: "accept", value: "application/json")
        if let token { request.headers.add(name: "authorization", value: "Bearer \(token)") }
        if let body {
            request.headers.add(name: "content-type", value: "application/json")
            request.body = .bytes(ByteBuffer(bytes: body))
        }
        let configuration = try configuration()
        let answer: Answer
        do {
            let sent = request
            answer = try Self.waiting { try await Self.answer(sent, configuration) }
        } catch let failure as Failure {
            throw failure
        } catch {
            throw unreachable(error)
        }
        guard (200..<300).contains(answer.status) else { throw problem(answer) }
        return answer
    }

    private func configuration() throws -> HTTPClient.Configuration {
        // Nobody else is given the token, and nobody waits for a server that is not there.
        var configuration = HTTPClient.Configuration(redirectConfiguration: .disallow)
        configuration.timeout.connect = .seconds(5)
        configuration.connectionPool.retryConnectionEstablishment = false
        var tls = TLSConfiguration.makeClientConfiguration()
        if let caFile {
            guard FileManager.default.isReadableFile(atPath: caFile) else {
                throw Failure(
                    message: "the file \(caFile) of --ca cannot be read: name one that is there, and that you may read")
            }
            tls.trustRoots = .file(caFile)
        }
        if isForAnyName { tls.certificateVerification = .noHostnameVerification }
        if let identity {
            do {
                tls.certificateChain = try NIOSSLCertificate.fromPEMFile(identity.certificate).map { .certificate($0) }
            } catch {
                throw Failure(
                    message: "the file \(identity.certificate) of --cert cannot be read as certificates in PEM")
            }
            do {
                tls.privateKey = .privateKey(try NIOSSLPrivateKey(file: identity.key, format: .pem))
            } catch {
                throw Failure(message: "the file \(identity.key) of --key cannot be read as a private key in PEM")
            }
        }
        configuration.tlsConfiguration = tls
        return configuration
    }

    private static func answer(
        _ request: HTTPClientRequest, _ configuration: HTTPClient.Configuration
    ) async throws -> Answer {
        let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
        do {
            let response = try await client.execute(request, timeout: .seconds(60))
            let body = try await response.body.collect(upTo: mostBytes)
            try? await client.shutdown()
            return Answer(
                status: response.status.code, type: response.headers.first(name: "content-type") ?? "",
                date: response.headers.first(name: "date"), data: Data(body.readableBytesView))
        } catch {
            try? await client.shutdown()
            throw error
        }
    }

    private final class Outcome<Value: Sendable>: Sendable {
        let value = Mutex<Result<Value, any Error>?>(nil)
    }

    /// What a task comes to, for a command that has nothing else to do.
    private static func waiting<Value: Sendable>(_ work: @escaping @Sendable () async throws -> Value) throws -> Value {
        let outcome = Outcome<Value>()
        let done = DispatchSemaphore(value: 0)
        Task.detached {
            let result: Result<Value, any Error>
            do { result = .success(try await work()) } catch { result = .failure(error) }
            outcome.value.withLock { $0 = result }
            done.signal()
        }
        done.wait()
        guard let result = outcome.value.withLock({ $0 }) else { throw Failure(message: "no answer") }
        return try result.get()
    }

    /// What opening a connection comes to.
    enum Reach {
        /// Something answers, whatever it says.
        case answers
        /// Its certificate is not believed.
        case stranger
        /// Nothing does, for this reason.
        case silent(String)
    }

    /// Whether something answers, over TLS if that is asked for.
    func reach() -> Reach {
        do {
            let (request, configuration) = (HTTPClientRequest(url: base + "/"), try configuration())
            _ = try Self.waiting { try await Self.answer(request, configuration) }
            return .answers
        } catch let failure as Failure {
            return .silent(failure.message)
        } catch {
            if Self.isAboutCertificates(error) { return .stranger }
            let text = "\(error)"
            let isOpen = error is HTTPClientError && !text.contains("Timeout") && !text.contains("deadline")
            return isOpen ? .answers : .silent(Self.reason(error))
        }
    }

    // MARK: What went wrong

    private func unreachable(_ error: any Error) -> Failure {
        let text = "\(error)"
        if let identity, text.contains("ALERT") {
            return Failure(
                message: "\(base) does not believe the certificate \(identity.certificate) of --cert: "
                    + "is it of this mesh, and in time?")
        }
        if Self.isAboutCertificates(error) {
            return Failure(
                message: "\(base) shows a certificate that is not believed: name its root with --ca FILE")
        }
        return Failure(
            message:
                "the control plane cannot be reached at \(base): \(Self.reason(error)); start it with martlet-control serve "
                + "--data DIR, or say where it is with --server URL or MARTLET_SERVER")
    }

    private static func reason(_ error: any Error) -> String {
        let text = "\(error)"
        if text.contains("refused") { return "nothing listens there" }
        if text.contains("Timeout") || text.contains("deadline") { return "it does not answer in time" }
        if text.contains("SocketAddressError") || text.contains("unknown(host") {
            return "there is no host of that name"
        }
        return "it does not answer"
    }

    private static func isAboutCertificates(_ error: any Error) -> Bool {
        error is NIOSSLError || error is NIOSSLExtraError || "\(error)".contains("CERTIFICATE")
    }

    private func problem(_ answer: Answer) -> Failure {
        guard let document = try? API.decoder().decode(API.ProblemDocument.self, from: answer.data) else {
            return Failure(
                message: "\(base) answers \(answer.status): is it the HTTP API of a martlet-control? "
                    + "Say where that is with --server URL or MARTLET_SERVER")
        }
        if answer.status == 401 {
            let place = document.remedy.split(separator: "; ").last.map { " (\($0))" } ?? ""
            return Failure(
                message: "\(document.detail): give the token with --token-file FILE or MARTLET_API_TOKEN\(place)")
        }
        let isOurs = [400, 404, 409, 422].contains(answer.status)
        let diagnostics = document.diagnostics ?? []
        for diagnosis in diagnostics { printError(diagnosis.text) }
        let remedy = document.remedy.isEmpty || !diagnostics.isEmpty ? "" : "; \(document.remedy)"
        return Failure(message: "\(document.detail)\(remedy)", code: isOurs ? 1 : 2)
    }
}

extension API.Diagnosis {
    /// `shop.yaml:12:3: error: spec.rulez: unknown field "rulez"; did you mean "rules"?`
    var text: String {
        let numbers = [line, column].prefix { $0 > 0 }.map { ":\($0)" }.joined()
        let place = file.isEmpty ? (object.isEmpty ? "" : "\(object): ") : "\(file)\(numbers): "
        let path = field.isEmpty ? (file.isEmpty || object.isEmpty ? "" : "\(object): ") : "\(field): "
        return "\(place)\(severity.rawValue): \(path)\(message)\(remedy.isEmpty ? "" : "; \(remedy)")"
    }
}
