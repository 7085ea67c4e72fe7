"""The caller's side of the sealed lane: verify an enclave, seal to it, open what it answers.

    with Client("https://photos.example", policy=Path("policy.json")) as client:
        print(client.verify().render())
        answer = client.classify(Path("dog.jpeg").read_bytes())
        print(answer.predictions[0].label)

Nothing is sealed, and no token sent, to an enclave whose evidence the policy does not accept. What comes back is
believed only if it opens: the gateway can refuse to serve, and can do nothing else.

Raises, besides `ProxyError` when it is made, and `PolicyError` then or when its policy has expired:

    EvidenceError     the enclave is not one that the policy accepts; nothing was sent
    Problem           the enclave's refusal of this image or request, from inside the envelope
    GatewayProblem    a refusal by the gateway (or a party between), such as `unauthenticated` or `overloaded`
    SealingError      the answer is not the enclave's: `not_sealed`, `answer_not_genuine`; or its keys keep changing
    ReceiptError      the receipt that was asked for does not vouch for the answer
    TransportError    the gateway was not reached or speaks something else
"""

from blindsight.client.answers import Classification, GatewayProblem, Prediction
from blindsight.client.asynchronous import AsyncClient
from blindsight.client.synchronous import Client

__all__ = ["AsyncClient", "Classification", "Client", "GatewayProblem", "Prediction"]
