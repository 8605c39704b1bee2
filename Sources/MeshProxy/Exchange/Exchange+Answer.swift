import MeshCore
import MeshHTTP

/// Answers of the proxy itself.
extension Exchange {
    func answerFromFilter(_ reason: Reason) {
        guard case .answer = state.answer(reason) else { return }
        account.reason = reason
        finishAnswer()
    }

    func write(_ reason: Reason) {
        // Nobody reads the answer to a copy.
        if keepsItself != nil { return perform(state.lose()) }
        account.reason = reason
        detachUpstream()
        LocalAnswer.write(reason, for: request, into: response, body: responseBody, pools: worker.pools)
        finishAnswer()
    }

    /// The answer is in ``response`` and ``responseBody``.
    func finishAnswer() {
        account.answered(response)
        account.responseBytes = responseBody.byteCount
        responseBody.end()
        responseTrailers.reset()
        downstream.respond(response, to: request, hasBody: response.bodyLength != .none)
        downstream.sendBody()
    }

    /// Sends an answer that is no error: the admin endpoint's.
    func answer(_ content: AdminAnswer) {
        guard case .answer = state.answer(.internalError) else { return }
        LocalAnswer.write(content, for: request, into: response, body: responseBody, pools: worker.pools)
        finishAnswer()
    }

    func endWithTrailers(_ reason: Reason) {
        account.reason = reason
        detachUpstream()
        LocalAnswer.writeStatus(reason, into: responseTrailers)
        account.trailers(responseTrailers, hasTrailers: true)
        responseBody.end()
        downstream.sendBody()
    }
}
