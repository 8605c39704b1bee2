import AsyncHTTPClient
import Foundation
import NIOCore
import Synchronization

/// Customers: each asks the gateway for one thing after the other, until they are sent home.
final class DemoTraffic: Sendable {
    /// What became of their requests.
    struct Counts {
        var good = 0
        var failed = 0
        /// What the first failures looked like.
        var failures: [String] = []
        /// Good answers by the language that the cart answered in: each of its versions has one of its own.
        var carts: [String: Int] = [:]
    }

    /// What a service says: who it is, and what those that it called said.
    private struct Answer: Decodable {
        var service: String
        var language: String?
        var calls: [Answer]?

        /// The language of every service that took part.
        var languages: [String: String] {
            (calls ?? []).reduce(into: [service: language ?? ""]) { $0.merge($1.languages) { first, _ in first } }
        }
    }

    private let counted = Mutex(Counts())
    private let isOver = Atomic(false)
    private let url: String
    private let services: [String]

    /// An answer of `url` is good if it is 200 and names every one of `services`.
    init(_ url: String, services: [String]) {
        self.url = url
        self.services = services
    }

    /// What has been counted since the last call.
    func take() -> Counts {
        counted.withLock { counts in
            defer { counts = Counts() }
            return counts
        }
    }

    /// Sends `customers` at a time, until ``end()``; returns when the last answer is there.
    func run(customers: Int) async {
        await withTaskGroup(of: Void.self) { group in
            for number in 0..<customers { group.addTask { await self.ask("\(self.url)/customer-\(number)") } }
        }
    }

    /// No further requests.
    func end() { isOver.store(true, ordering: .relaxed) }

    private func ask(_ url: String) async {
        let request = HTTPClientRequest(url: url)
        while !isOver.load(ordering: .relaxed) {
            let failure: String?
            var cart: String?
            do {
                let response = try await HTTPClient.shared.execute(request, timeout: .seconds(15))
                let body = try await response.body.collect(upTo: 1 << 20)
                if response.status != .ok {
                    failure = "\(response.status.code) \(String(buffer: body).prefix(300))"
                } else {
                    let languages = try JSONDecoder().decode(Answer.self, from: Data(body.readableBytesView)).languages
                    let missing = services.filter { languages[$0] == nil }
                    failure = missing.isEmpty ? nil : "no answer of \(missing.joined(separator: ", "))"
                    cart = languages["cart"]
                }
            } catch {
                failure = "\(error)"
            }
            counted.withLock { counts in
                if let cart { counts.carts[cart, default: 0] += 1 }
                guard let failure else { return counts.good += 1 }
                counts.failed += 1
                if counts.failures.count < 3 { counts.failures.append(failure) }
            }
        }
    }
}
