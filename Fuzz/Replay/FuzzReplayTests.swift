import Foundation
import Testing

/// What fuzzing found once, and the inputs that it starts from: `Fuzz/Failures` and `Fuzz/Corpus`.
@Suite struct FuzzReplayTests {
    @Test(arguments: FuzzTarget.allCases)
    func corpusAndPastFailuresPass(target: FuzzTarget) throws {
        let inputs = Self.inputs(of: target)
        #expect(!inputs.isEmpty, "there is no corpus")
        for input in inputs {
            do throws(Finding) { try target.run(input.bytes) } catch {
                Issue.record("\(input.name): \(error.description)")
            }
        }
    }

    /// Every input cut short at some places: what scripts/fuzz does at length, in miniature.
    @Test(arguments: FuzzTarget.allCases)
    func beginningsOfTheCorpusPass(target: FuzzTarget) throws {
        for input in Self.inputs(of: target) {
            for eighth in 1..<8 {
                let part = Array(input.bytes.prefix(input.bytes.count * eighth / 8))
                do throws(Finding) { try target.run(part) } catch {
                    Issue.record("\(eighth)/8 of \(input.name): \(error.description)")
                }
            }
        }
    }

    private static func inputs(of target: FuzzTarget) -> [(name: String, bytes: [UInt8])] {
        let here = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        return ["Corpus", "Failures"].flatMap { kind -> [(name: String, bytes: [UInt8])] in
            let folder = here.appendingPathComponent("\(kind)/\(target.rawValue)")
            let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
            return names.sorted().compactMap { name in
                let data = try? Data(contentsOf: folder.appendingPathComponent(name))
                return data.map { ("\(kind)/\(target.rawValue)/\(name)", [UInt8]($0)) }
            }
        }
    }
}
