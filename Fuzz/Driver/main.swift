import CFuzzer
import FuzzTargets
import Glibc

// Fuzzes the target that the environment variable FUZZ_TARGET names; the arguments are libFuzzer's. With a file as
// argument it runs this one input: FUZZ_TARGET=regex Fuzz/.build/release/fuzz Fuzz/Failures/regex/empty-groups

/// libFuzzer's callback is a C function without a place for this. Set once, before the callback is called.
nonisolated(unsafe) private var target = FuzzTarget.http1Request

// SAFETY: nothing changes the environment.
guard let name = unsafe getenv("FUZZ_TARGET"), let named = unsafe FuzzTarget(rawValue: String(cString: name)) else {
    print("FUZZ_TARGET must be one of: \(FuzzTarget.allCases.map(\.rawValue).joined(separator: " "))")
    exit(2)
}
unsafe target = named
var count = CommandLine.argc
// SAFETY: the arguments live as long as the process.
var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = unsafe CommandLine.unsafeArgv
exit(unsafe LLVMFuzzerRunDriver(&count, &arguments) { unsafe target.fuzz($0, $1) })
