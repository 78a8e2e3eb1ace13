use super::harness::{Caller, script};
use crate::api::{
    AlarmRequest, AlarmResponse, AuthEnableRequest, AuthEnableResponse, AuthRoleAddRequest,
    AuthRoleAddResponse, AuthUserAddRequest, AuthUserAddResponse, AuthUserGrantRoleRequest,
    AuthUserGrantRoleResponse, AuthenticateRequest, AuthenticateResponse, DefragmentRequest,
    DefragmentResponse, MemberAddRequest, MemberAddResponse, MemberListRequest, MemberListResponse,
    RangeRequest, RangeResponse, StatusRequest, StatusResponse, WatchCreateRequest,
};
use crate::error::Error;
use crate::grpc::Status;

async fn add_user(caller: &Caller, name: &str) {
    let request = AuthUserAddRequest {
        name: name.to_owned(),
        password: "secret".to_owned(),
        ..AuthUserAddRequest::default()
    };
    let _: AuthUserAddResponse = caller.call(1, "Auth/UserAdd", &request).await.unwrap();
}

async fn as_user(caller: &Caller, name: &str) -> Caller {
    let request = AuthenticateRequest { name: name.to_owned(), password: "secret".to_owned() };
    let given: AuthenticateResponse = caller.call(1, "Auth/Authenticate", &request).await.unwrap();
    caller.with_token(&given.token)
}

/// Lets `root` and `ann` in, of whom `ann` may do nothing.
async fn enable(caller: &Caller) {
    add_user(caller, "root").await;
    add_user(caller, "ann").await;
    let role = AuthRoleAddRequest { name: "root".to_owned() };
    let _: AuthRoleAddResponse = caller.call(1, "Auth/RoleAdd", &role).await.unwrap();
    let grant = AuthUserGrantRoleRequest { user: "root".to_owned(), role: "root".to_owned() };
    let _: AuthUserGrantRoleResponse = caller.call(1, "Auth/UserGrantRole", &grant).await.unwrap();
    let _: AuthEnableResponse = caller.call(1, "Auth/AuthEnable", &AuthEnableRequest {}).await.unwrap();
}

#[test]
fn what_is_for_operators_is_for_root_alone() {
    script(1, async |caller| {
        enable(&caller).await;
        let (root, ann, nobody) = (as_user(&caller, "root").await, as_user(&caller, "ann").await, caller);
        for (who, refused) in [(&nobody, Error::UserEmpty), (&ann, Error::PermissionDenied)] {
            let refused = Err(Status::from(refused));
            let defragment = DefragmentRequest {};
            let answer: Result<DefragmentResponse, _> =
                who.call(1, "Maintenance/Defragment", &defragment).await;
            assert_eq!(answer.map(|_| ()), refused);
            let add = MemberAddRequest { peer_ur_ls: vec!["http://m4:2380".to_owned()], is_learner: true };
            let answer: Result<MemberAddResponse, _> = who.call(1, "Cluster/MemberAdd", &add).await;
            assert_eq!(answer.map(|_| ()), refused);
            let mut stream = who.open(1, "Maintenance/Snapshot").await;
            stream.send(&crate::api::SnapshotRequest {});
            assert_eq!(Err(stream.error().await), refused);
        }
        let status: Result<StatusResponse, _> = nobody.call(1, "Maintenance/Status", &StatusRequest {}).await;
        assert_eq!(status.map(|_| ()), Err(Error::UserEmpty.into()));
        let _: StatusResponse = ann.call(1, "Maintenance/Status", &StatusRequest {}).await.unwrap();
        let _: AlarmResponse = ann.call(1, "Maintenance/Alarm", &AlarmRequest::default()).await.unwrap();
        let _: DefragmentResponse =
            root.call(1, "Maintenance/Defragment", &DefragmentRequest {}).await.unwrap();
        let list: MemberListResponse =
            nobody.call(1, "Cluster/MemberList", &MemberListRequest::default()).await.unwrap();
        assert_eq!(list.members.len(), 1);
    });
}

#[test]
fn a_watch_that_is_not_allowed_is_refused_with_the_text_of_a_status() {
    script(1, async |caller| {
        enable(&caller).await;
        let ann = as_user(&caller, "ann").await;
        let mut stream = ann.open(1, "Watch/Watch").await;
        super::watch::create(&stream, WatchCreateRequest { key: "a".into(), ..Default::default() });
        let refused = super::watch::next(&mut stream).await;
        assert!(refused.created && refused.canceled);
        let reason = "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
        assert_eq!((refused.watch_id, &refused.cancel_reason[..]), (-1, reason));
        let read = RangeRequest { key: "a".into(), ..RangeRequest::default() };
        let answer: Result<RangeResponse, _> = caller.with_token("x.y").call(1, "KV/Range", &read).await;
        assert_eq!(answer, Err(Error::InvalidAuthToken.into()));
    });
}

/// etcd hashes no password of a user who is to have none, and so leaves in the log what the caller sent.
#[test]
fn a_password_for_a_user_without_one_is_no_phantom() {
    script(1, async |caller| {
        let request = AuthUserAddRequest {
            name: "ann".to_owned(),
            password: "secret".to_owned(),
            options: Some(crate::api::authpb::UserAddOptions { no_password: true }),
            ..AuthUserAddRequest::default()
        };
        let _: AuthUserAddResponse = caller.call(1, "Auth/UserAdd", &request).await.unwrap();
        let request = AuthenticateRequest { name: "ann".to_owned(), password: "secret".to_owned() };
        let refused: Result<AuthenticateResponse, _> = caller.call(1, "Auth/Authenticate", &request).await;
        assert!(refused.is_err());
    });
}
