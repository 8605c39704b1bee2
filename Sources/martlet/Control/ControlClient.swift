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
        var data: Data
    }

    /// The body of a response that is a success.
    private func send(_ method: Method, _ path: String, _ body: Data?) throws -> Data {
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
        return answer.data
    }

    private func configuration() throws -> HTTPClient.Configuration {
        // Nobody else is given the token, and nobody waits for a server that is not there.
        var configuration = HTTPClient.Configuration(redirectConfiguration: .disallow)
        configuration.timeout.connect = .seconds(5)
        configuration.connectionPool.retryConnectionEstablishment = false
        if let caFile {
            guard FileManager.default.isReadableFile(atPath: caFile) else {
                throw Failure(message: "the file \(caFile) of --ca-file cannot be read")
            }
            var tls = TLSConfiguration.makeClientConfiguration()
            tls.trustRoots = .file(caFile)
            configuration.tlsConfiguration = tls
        }
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
                data: Data(body.readableBytesView))
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

    // MARK: What went wrong

    private func unreachable(_ error: any Error) -> Failure {
        let text = "\(error)"
        var reason = "it does not answer"
        if text.contains("refused") { reason = "nothing listens there" }
        if text.contains("Timeout") || text.contains("deadline") { reason = "it does not answer in time" }
        if error is NIOSSLError || error is NIOSSLExtraError || text.contains("CERTIFICATE") {
            return Failure(
                message: "\(base) shows a certificate that is not believed: name its root with --ca-file FILE")
        }
        return Failure(
            message: "the control plane cannot be reached at \(base): \(reason); start it with martlet-control serve "
                + "--data DIR, or say where it is with --server URL or MARTLET_SERVER")
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
