"""The client of the sealed lane: it verifies an enclave, encrypts requests to it, and decrypts its answers.

    with Client("https://photos.example", policy=Path("policy.json")) as client:
        print(client.verify().render())
        answer = client.classify(Path("dog.jpeg").read_bytes())
        print(answer.predictions[0].label)

The client sends no image and no token before the policy has accepted the enclave's evidence. It accepts only answers
that decrypt with the request's keys, so the gateway can refuse to serve, but cannot forge an answer.

Raises, besides `ProxyError` at construction, and `PolicyError` at construction or when the policy has expired:

    EvidenceError     the policy does not accept the enclave; nothing was sent
    Problem           the enclave's refusal of this image or request, from inside the sealed answer
    GatewayProblem    a refusal by the gateway (or a party between), such as `unauthenticated` or `overloaded`
    SealingError      the answer is not the enclave's: `not_sealed`, `answer_not_genuine`; or its keys keep changing
    ReceiptError      the requested receipt does not match the answer
    TransportError    the gateway was not reached or does not follow the protocol
"""

from blindsight.client.answers import Classification, GatewayProblem, Prediction
from blindsight.client.asynchronous import AsyncClient
from blindsight.client.synchronous import Client

__all__ = ["AsyncClient", "Classification", "Client", "GatewayProblem", "Prediction"]
