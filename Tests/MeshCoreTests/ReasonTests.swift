import Foundation
import MeshCore
import Testing

@Suite struct ReasonTests {
    /// Line by line: `docs/reasons.md` of this checkout.
    private static func page() throws -> [Substring] {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        return try String(contentsOf: root.appending(path: "docs/reasons.md"), encoding: .utf8)
            .split(separator: "\n")
    }

    @Test func everyReasonHasItsEntry() throws {
        let headings = try Self.page().filter { $0.hasPrefix("### ") }.map { String($0.dropFirst(4)) }
        for reason in Reason.allCases {
            #expect(headings.filter { $0 == reason.rawValue }.count == 1, "\(reason.rawValue) in docs/reasons.md")
        }
        #expect(headings.count == Reason.allCases.count, "docs/reasons.md has an entry for what is no reason")
    }

    @Test func aReferenceThatIsNotValidIsUnavailableToGRPC() {
        #expect(Reason.backendNotValid.grpcStatus == 14)
    }

    @Test func everyEntryGivesTheStatusThatIsSent() throws {
        let lines = try Self.page()
        for reason in Reason.allCases {
            guard let heading = lines.firstIndex(of: "### \(reason.rawValue)"), heading + 1 < lines.count else {
                Issue.record("no entry for \(reason.rawValue)")
                continue
            }
            let isAnswer = reason.status != 0
            let expected =
                isAnswer ? "HTTP \(reason.status), gRPC \(reason.grpcStatus)." : "The connection is closed; no status."
            #expect(lines[heading + 1].hasPrefix(expected), "\(reason.rawValue)")
        }
    }
}
