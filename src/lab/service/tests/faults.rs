//! Faults that need the service: what they do to its answers, and to what it knows.

use super::*;

impl Scene {
    fn disturb(&mut self, effect: Effect) {
        self.service.faults.add(Fault::always(effect).times(1)).unwrap();
    }

    fn receive(&mut self, request: &Request) -> Reply {
        match self.service.receive(request, &SystemEntropy, NOW) {
            Conduct::Answer(reply) => reply,
            other => panic!("not an answer: {other:?}"),
        }
    }

    fn last_outcome(&self) -> Outcome {
        self.service.ledger.entries().next_back().unwrap().outcome.clone()
    }
}

#[test]
fn a_refused_signature_keeps_the_request_from_the_service() {
    let mut scene = Scene::new();
    scene.disturb(Effect::SignatureRefusal);
    let request = scene.token_request(&KEY, NOW);
    let (status, code, answer) = seen(&scene.receive(&request));
    assert_eq!((status, code.as_str()), (400, "InvalidSignatureException"));
    assert!(answer["message"].as_str().unwrap().contains("String-to-Sign should have been"));
    assert_eq!(scene.last_outcome(), Outcome::Disturbed("signature-refusal"));
    assert_eq!(scene.service.tokens.count().unwrap(), 0);
}

#[test]
fn an_unsigned_request_hears_the_same_without_texts() {
    let mut scene = Scene::new();
    scene.disturb(Effect::SignatureRefusal);
    let (_, code, answer) = seen(&scene.receive(&plain(Operation::CreateActivation, &json!({}))));
    assert_eq!(code, "InvalidSignatureException");
    assert!(!answer["message"].as_str().unwrap().contains("Canonical String"), "{answer}");
}

#[test]
fn an_altered_answer_was_a_deed() {
    for effect in [
        Effect::WrongJson,
        Effect::WrongShape,
        Effect::MissingMember("SessionToken".to_owned()),
        Effect::SkewedDate(time::Duration::HOUR),
        Effect::SkewedExpiry(time::Duration::HOUR),
    ] {
        let mut scene = Scene::new();
        scene.disturb(effect);
        let request = scene.token_request(&KEY, NOW);
        assert_eq!(scene.receive(&request).status, 200);
        assert_eq!(scene.service.tokens.count().unwrap(), 1);
        assert_eq!(scene.last_outcome(), Outcome::Done);
    }
}

#[test]
fn a_key_that_was_asked_for_is_asked_for_until_it_changes() {
    let mut scene = Scene::new();
    scene.disturb(Effect::UpdateKeyPair);
    let request = scene.token_request(&KEY, NOW);
    assert_eq!(seen(&scene.receive(&request)).2["UpdateKeyPair"], true);
    let asked = json!({
        "NewPublicKey": OTHER_KEY.public_key().encode(), "NewPublicKeyType": "Rsa",
    });
    let update = rsa_signed(
        plain(Operation::UpdateManagedInstancePublicKey, &asked),
        &scene.node,
        &KEY,
        &RSA_HEADERS,
        NOW,
    );
    assert_eq!(scene.receive(&update).status, 200);
    let request = scene.token_request(&OTHER_KEY, NOW);
    assert_eq!(seen(&scene.receive(&request)).2["UpdateKeyPair"], false);
}

#[test]
fn a_deregistration_comes_before_the_answer() {
    let mut scene = Scene::new();
    scene.disturb(Effect::Deregistration);
    let request = scene.token_request(&KEY, NOW);
    assert_eq!(seen(&scene.receive(&request)).1, "InvalidInstanceId");
    assert_eq!(scene.last_outcome(), Outcome::Refused("InvalidInstanceId".to_owned()));
    assert_eq!(scene.service.nodes.count().unwrap(), 0);
}

#[test]
fn a_node_that_is_not_there_hears_so_whatever_the_fault() {
    for effect in [Effect::UpdateKeyPair, Effect::Deregistration] {
        let mut scene = Scene::new();
        let request = scene.token_request(&KEY, NOW);
        scene.service.nodes.deregister(&scene.node.clone()).unwrap();
        scene.disturb(effect);
        assert_eq!(seen(&scene.receive(&request)).1, "InvalidInstanceId");
    }
}
