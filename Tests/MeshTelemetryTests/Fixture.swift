import Foundation
import MeshCore
import MeshHTTP
import MeshModel

@testable import MeshTelemetry

/// The head of a request with these fields, without a parser's opinion of them.
func requestHead(
    _ method: String = "GET", _ host: String = "shop.example", _ path: String = "/", _ fields: [(String, [UInt8])] = []
) -> MessageHead {
    let head = MessageHead()
    head.methodRange = head.store(Array(method.utf8).span)
    head.authorityRange = head.store(Array(host.utf8).span)
    head.pathRange = head.store(Array(path.utf8).span)
    for (name, value) in fields { head.append(name: Array(name.utf8).span, value: value.span) }
    return head
}

/// Text as the bytes of a field's value.
func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

/// A record that tests can hand around: of an exchange that took 12.5 ms and was answered with 200.
final class Sample {
    var record: ExchangeRecord

    init(slot: Int = -1, listener: Int = -1, version: Version? = .http11) {
        record = ExchangeRecord(
            slot: slot, listener: listener, started: Instant(nanoseconds: 1_000_000),
            ended: Instant(nanoseconds: 13_500_000), version: version)
        record.status = 200
        // 2026-11-24 05:41:57.123 UTC
        record.wallTime = 1_795_498_917_123_456_789
    }
}

/// The one line that `setting` makes of `sample`, without its line feed.
func line(_ setting: AccessLog, _ sample: Sample, names: LoopMetrics = LoopMetrics()) throws -> String {
    var log = LogBuffer()
    try AccessLogFormat(setting).append(sample.record, names: names, to: &log)
    let text = String(validating: log.take(), as: UTF8.self)!
    precondition(text.last == "\n" && text.utf8.count { $0 == 10 } == 1, "not one line: \(text)")
    return String(text.dropLast())
}

/// A page of `docs`.
func documentation(_ name: String) throws -> String {
    let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
    return try String(contentsOf: root.appending(path: "docs/\(name)"), encoding: .utf8)
}
